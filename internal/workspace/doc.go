// Package workspace holds no code, only tests of the workspace itself: who may
// import whom, that every go.mod names its siblings completely, that each
// module builds alone, and that each library can be imported from outside.
package workspace
