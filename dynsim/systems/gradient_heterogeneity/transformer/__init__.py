"""The small transformer: marker task, layers with pullbacks and tangents, model, fresh heads, facts about layer normalisation."""
