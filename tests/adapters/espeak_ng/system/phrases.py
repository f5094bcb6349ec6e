"""What can be said."""

PHRASES = [
    "yes", "no", "stop", "go ahead", "turn left", "turn right", "open the door", "close the door", "lights on",
    "lights off", "louder", "quieter", "what time is it", "good morning", "call my mother", "play some music",
]  # fmt: skip
