"""What can be done with objects. Each verb takes the cluster and a request, and returns what is sent back."""
