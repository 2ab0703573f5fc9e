//go:build race

package partition

// The race detector makes everything some ten times slower: the crash tests do less.
const slow = true
