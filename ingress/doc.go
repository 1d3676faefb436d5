// Package ingress will hold services at virtual addresses: load balancing of
// connections (NodePort, LoadBalancer and egress services), HTTP listeners and routes,
// and the health of their endpoints. Nothing of it is built yet: the configuration has
// no key for it, and no packet meets it.
package ingress
