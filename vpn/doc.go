// Package vpn will hold IPsec: connections and their traffic selectors, negotiated by
// strongSwan over VICI, and the routes that come of them. Nothing of it is built yet:
// the configuration has no key for it, and no packet meets it. ESP and IKE that pass
// through the gateway are forwarded and translated like any other protocol.
package vpn
