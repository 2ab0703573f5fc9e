// Package pgserver runs a private PostgreSQL server: for the embedded platform,
// which must work where nothing is configured, and for tests.
//
// Start finds the server's binaries (Find), makes a cluster in the data directory
// the first time, starts the server on 127.0.0.1 and returns once it accepts
// connections. What it promises:
//
//   - The server is reached by TCP on loopback only, with a random password that
//     is kept beside the data in a file of mode 0600.
//   - wal_level is logical, with room for replication slots, so that the outbox
//     and change-data capture work.
//   - It ends with the process that started it, however that process ends. On
//     Linux the kernel sees to it (parent-death signal), elsewhere, and for
//     temporary servers, a small watching shell does.
//   - Start on a data directory whose last owner was killed waits until that
//     owner's server is gone. A data directory in use by a living process is
//     refused (ErrInUse).
//   - The server never runs as root. Started by root, it runs under an
//     unprivileged account, and where that account cannot reach the data
//     directory, its files are kept under /var/lib/quokka; the data directory
//     then holds a file that says where.
//
// Tests use ForTest, one server for the whole test binary, and NewDatabase, a
// fresh database on it.
package pgserver
