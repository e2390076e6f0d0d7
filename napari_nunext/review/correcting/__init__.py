"""What a person does to nuclei: gestures into events, categories, accepting, what is selected."""
