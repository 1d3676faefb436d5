// Package lab builds a small network of namespaces around a gateway: real kernel
// stacks on every side of it, for the demonstration, the end-to-end tests and the
// live benchmarks. It needs root, ip(8) and /dev/net/tun.
//
//	client  198.51.100.10 (lo)
//	   │ eth0 203.0.113.1/24
//	   │
//	   │ outside 203.0.113.2/24
//	gateway
//	   │ inside 10.0.0.1/24
//	   │
//	lan (bridge) ────────────┐
//	   │ eth0 10.0.0.11/24   │ eth0 10.0.0.254/24
//	worker1                router
//	   │ cali0               │ eth1 10.0.1.254/24
//	   │                     │
//	   │ eth0 172.30.1.10    │ eth0 10.0.1.12/24
//	 pod1                  worker2, tunl0
//	                         │ cali0
//	                         │ eth0 172.30.2.10
//	                       pod2
//
// The router knows no pod, so what goes to pod2 must go by IP-in-IP; worker1 is
// in the gateway's subnet, so what goes to pod1 need not. The workers' end of
// IP-in-IP is package ipip. The gateway's namespace starts with its devices and
// nothing else: a gateway is started in it, or StandIn makes the kernel one.
package lab
