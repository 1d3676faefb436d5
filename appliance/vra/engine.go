package main

import (
	"context"
	"errors"
	"log/slog"

	"openvra/config"
)

var errNotBuilt = errors.New("the path is not built in")

type Options struct {
	ConfigPath                 string
	Log                        *slog.Logger
	Ready, Reloading, Reloaded func()
}
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

func Run(ctx context.Context, o Options) error      { return errNotBuilt }
func Check(c *config.Config) error                  { return nil }
func Replay(o ReplayOptions) (*ReplayResult, error) { return nil, errNotBuilt }
