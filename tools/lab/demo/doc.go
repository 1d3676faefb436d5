// Package demo shows the gateway at work: in a lab where there is root, else over
// the capture that Bundle holds.
package demo
