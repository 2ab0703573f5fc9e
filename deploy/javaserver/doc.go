// Package javaserver is what it takes to run a server written in Java that this
// repository does not bring along: find a Java that will do, have Maven fetch
// the server as it fetches any library, and keep track of the server's process.
//
// The process outlives the program that started it. What is known of it is in
// its directory: server.log is what it prints, pid its process id.
//
// A machine that lacks Java or Maven, or whose registry cannot be reached, is no
// failure: a *NotRunError says what is missing, and whoever wanted the server
// goes on without and says so.
package javaserver
