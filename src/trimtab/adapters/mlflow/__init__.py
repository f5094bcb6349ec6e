"""MLflow: trainings are shown on its servers, and runs are taken over from its stores."""
