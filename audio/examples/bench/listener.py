"""Prints, for each recording after the first, its PESQ score against the first: ITU-T P.862, narrow band, the mean over
stretches of eight seconds as P.862.3 wants them. All are 16-bit WAVE files of 8 kHz, mono."""

import sys
import wave

import numpy
from pesq import NoUtterancesError, pesq

RATE = 8000
STRETCH = 8 * RATE


def samples(path):
    with wave.open(path) as file:
        return numpy.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


def score(source, heard):
    scores = []
    for at in range(0, len(source) - STRETCH + 1, STRETCH):
        try:
            scores.append(pesq(RATE, source[at : at + STRETCH], heard[at : at + STRETCH], "nb"))
        except NoUtterancesError:
            pass  # Nobody speaks there.
    return sum(scores) / len(scores)


source = samples(sys.argv[1])
for path in sys.argv[2:]:
    print(f"{score(source, samples(path)):.3f}")
