//go:build !linux

package main

func freeSpace(string) (uint64, bool) { return 0, false }

func freeMemory() (uint64, bool) { return 0, false }
