// Package e2e tests the real binary on real devices: each test builds the lab of
// package lab, starts vra in the gateway's place and looks at it as its neighbors,
// its operator and its host do.
//
// The tests need root and are skipped without it, unless VRA_REQUIRE_ROOT is 1: then
// they fail, so that a green run means that they ran.
package e2e
