"""The mutating admission webhook: what `inject` does to a file, done to a pod when the cluster makes it.

`pod.py` says how a pod changes, `review.py` answers an AdmissionReview; both are pure. `serve.py` is the HTTPS server,
`certificate.py` makes certificates, `cluster.py` keeps them in the cluster and renews them.
"""
