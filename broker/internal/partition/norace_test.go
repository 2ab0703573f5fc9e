//go:build !race

package partition

const slow = false
