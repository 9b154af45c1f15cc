"""The pattern that most introductions share: Flask's own server, Keras `predict` per request.

python flask_keras.py <model.keras> <port>
"""

import sys

import numpy as np
from flask import Flask, jsonify, request
from tensorflow import keras

app = Flask(__name__)
model = keras.models.load_model(sys.argv[1])


@app.post("/predict")
def predict():  # type: ignore[no-untyped-def]
    image = np.array(request.get_json()["image"]).reshape(1, 28, 28)
    probabilities = model.predict(image, verbose=0)
    return jsonify(prediction=int(np.argmax(probabilities)), probabilities=probabilities.tolist())


@app.get("/ready")
def ready():  # type: ignore[no-untyped-def]
    return "ready"


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[2]))
