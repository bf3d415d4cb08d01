"""What an hour of weather must look like."""

from perennial import expectations as expect

weather = [expect.required("station"), expect.between({"temp": (-40, 130), "humid": (0, 100)})]
