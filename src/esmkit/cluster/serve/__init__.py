"""The API on Ray Serve: the same application and queues, in as many processes and machines as there is work for.

`application` puts the deployments together: `ingress` is the HTTP application, whose queue (`client`) asks the model
replicas (`replica`) and knows from the `board` how they are; `autoscaling` says how many of them there shall be.
`running` starts all that and ends it.
"""
