"""The code base of AP Loss, in which aLRP Loss was implemented a second time.

It is a RetinaNet of its own. What is the same is mmdet's and `rankdet.models.heads`'; what differs
has a name here:

=================== ==============================================================================
pixel_offset = 1    x2, y2 name the last pixel of a box: anchors, coder, IoU (`geometry`)
float64             anchors, assignment and decoding; ties between anchors are decided there
best anchor         all anchors that share an object's best IoU are positive (`geometry`)
widened unit boxes  GIoU is computed on a unit anchor and counts one unit too much (`heads`)
top level           no score threshold on the coarsest level; the best 1000 entries (`heads`)
stem bias           ResNet-50 has a bias in its first convolution (`heads`)
resize by factor    the image is sampled at exactly the factor, not at the rounded size (`data`)
augmentation        lighting noise, a crop that needs one good box, random interpolation
self-balance        renewed at the end of an epoch from sampled window means (`self_balance`)
zero losses         a step whose loss is exactly 0 is skipped (`optimization`)
=================== ==============================================================================

Outside of the heads boxes have mmdet's convention: x2, y2 are the right and lower edge.
"""
