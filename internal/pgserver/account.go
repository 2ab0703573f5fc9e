package pgserver

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"github.com/quokka-stream/quokka/internal/unprivileged"
)

// accounts lists those that root drops to, best first. Each must exist: initdb
// refuses a numeric user id without an entry in the password file.
var accounts = []string{"postgres", "_postgres", "pgsql", "nobody"}

// pickAccount says whom a new cluster's server runs as.
func pickAccount() (unprivileged.Account, error) {
	a, ok := unprivileged.Pick(accounts)
	if !ok {
		return a, fmt.Errorf("PostgreSQL does not run as root, and this machine has none of the accounts %v: add one (useradd --system postgres), or run as an ordinary user", accounts)
	}
	return a, nil
}

// accountOf says whom the server of an existing cluster runs as: its owner, for
// PostgreSQL accepts nobody else.
func accountOf(dir string) (unprivileged.Account, error) {
	st, err := os.Stat(dir)
	if err != nil {
		return unprivileged.Account{}, err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return unprivileged.Account{}, fmt.Errorf("%s: the system does not say who owns it", dir)
	}
	me := os.Geteuid()
	if int(sys.Uid) == me && me != 0 {
		return unprivileged.Account{}, nil
	}
	owner := strconv.Itoa(int(sys.Uid))
	u, err := user.LookupId(owner)
	switch {
	case me != 0:
		if err == nil {
			owner = u.Username
		}
		return unprivileged.Account{}, fmt.Errorf("the PostgreSQL files in %s belong to %s, not to you: run as %s, take them over (sudo chown -R %d %s), or use another data directory", dir, owner, owner, me, dir)
	case sys.Uid == 0:
		return unprivileged.Account{}, fmt.Errorf("the PostgreSQL files in %s belong to root, and PostgreSQL does not run as root: give them to an unprivileged account (chown -R postgres %s), or use another data directory", dir, dir)
	case err != nil:
		return unprivileged.Account{}, fmt.Errorf("the PostgreSQL files in %s belong to user id %s, which has no entry in the password file: give them to an account (chown -R postgres %s), or use another data directory", dir, owner, dir)
	}
	return unprivileged.Of(u)
}
