"""What a day of readings must look like."""

from perennial import expectations as expect

readings = [expect.exists("kwh"), expect.required("kwh"), expect.between({"kwh": (-100, 1000)})]
