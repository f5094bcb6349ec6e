"""Models beyond tables: tensors, images and sounds in, scores, boxes or any named tensors out."""
