package main

import (
	"errors"

	"openvra/config"
)

type ReplayInput struct{ Port, Path string }
type ReplayOptions struct {
	Config *config.Config
	In     []ReplayInput
	OutDir string
	Seed   uint64
}
type ReplayPort struct {
	Port  string            `json:"port"`
	In    uint64            `json:"in"`
	Out   uint64            `json:"out"`
	Local uint64            `json:"local"`
	Held  uint64            `json:"held"`
	Drops map[string]uint64 `json:"drops"`
}
type ReplayResult struct {
	Ports []ReplayPort `json:"ports"`
}

func Replay(o ReplayOptions) (*ReplayResult, error) { return nil, errors.New("replay is not built in") }
