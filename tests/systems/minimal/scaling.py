"""How numbers are brought to one scale."""

from sklearn.preprocessing import StandardScaler


def scaler():
    """Mean zero, variance one."""
    return StandardScaler()
