// Package strangers holds no code, only tests: clients that were written by others
// talk to the broker as their users do.
package strangers
