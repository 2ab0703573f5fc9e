// Package platform runs all of Quokka in one process: broker, schema registry,
// a private PostgreSQL, the services, change data capture, the mail sink
// and the trace store, each on its own port and none knowing that the others
// are near. What the configuration gives an address for is used where it is
// instead of being started.
//
// Start returns when everything answers, or with an error and nothing running.
// What it started ends with the platform, and with the process.
package platform
