// Package config reads the gateway's YAML file into typed, checked, frozen values.
//
// It is the only reader of the file: `vra check`, a start and a reload call [Load], so they refuse
// the same things. A file is read once, decoded into yaml.Node, and walked along the Go types of this
// package, whose struct tags are the one source of every key's name, default, unit, range and
// documentation. "go test ./config -update" writes schema.json and the comments of reference.yaml
// from the same tags; a plain test holds them fresh.
//
// Everything wrong is reported at once, in file order, as
//
//	FILE:LINE: path.in.yaml: got VALUE; want RULE
//
// Words are Kubernetes's, Calico's and the RFCs'. IPv4 only for now; the types are netip's, so they
// hold IPv6 when the path does.
//
// The package refuses anchors, aliases, merge keys, explicit tags, a second document, octal and
// underscored numbers, and yes/on as booleans: one way to write a thing, and no surprises.
//
// Strict bounds keep hostile files cheap: see maxBytes, maxNodes, maxDepth and maxErrors.
package config
