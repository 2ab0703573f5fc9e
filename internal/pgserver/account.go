package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// account is whom the server runs as. The zero value is the current user.
type account struct {
	name     string
	uid, gid uint32
	drop     bool // the process must change to it, from root
}

// unprivileged lists the accounts root drops to, best first. Each must exist:
// initdb refuses a numeric user id without an entry in the password file.
var unprivileged = []string{"postgres", "_postgres", "pgsql", "nobody"}

// pickAccount says whom a new cluster's server runs as.
func pickAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	for _, name := range unprivileged {
		if u, err := user.Lookup(name); err == nil {
			if a, err := asAccount(u); err == nil && a.uid != 0 {
				return a, nil
			}
		}
	}
	return account{}, fmt.Errorf("PostgreSQL does not run as root, and this machine has none of the accounts %v: add one (useradd --system postgres), or run as an ordinary user", unprivileged)
}

// accountOf says whom the server of an existing cluster runs as: its owner, for
// PostgreSQL accepts nobody else.
func accountOf(dir string) (account, error) {
	st, err := os.Stat(dir)
	if err != nil {
		return account{}, err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return account{}, fmt.Errorf("%s: the system does not say who owns it", dir)
	}
	me := os.Geteuid()
	if int(sys.Uid) == me && me != 0 {
		return account{}, nil
	}
	owner := strconv.Itoa(int(sys.Uid))
	u, err := user.LookupId(owner)
	switch {
	case me != 0:
		if err == nil {
			owner = u.Username
		}
		return account{}, fmt.Errorf("the PostgreSQL files in %s belong to %s, not to you: run as %s, take them over (sudo chown -R %d %s), or use another data directory", dir, owner, owner, me, dir)
	case sys.Uid == 0:
		return account{}, fmt.Errorf("the PostgreSQL files in %s belong to root, and PostgreSQL does not run as root: give them to an unprivileged account (chown -R postgres %s), or use another data directory", dir, dir)
	case err != nil:
		return account{}, fmt.Errorf("the PostgreSQL files in %s belong to user id %s, which has no entry in the password file: give them to an account (chown -R postgres %s), or use another data directory", dir, owner, dir)
	}
	return asAccount(u)
}

func asAccount(u *user.User) (account, error) {
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return account{}, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return account{}, err
	}
	return account{name: u.Username, uid: uint32(uid), gid: uint32(gid), drop: true}, nil
}

// command prepares a program that runs as the account in dir, in a process group
// of its own, so that Ctrl-C in a terminal reaches only us.
func (a account) command(ctx context.Context, dir, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// Messages in English, whatever the user's language: Start reads some of them.
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TZ=UTC"}
	if a.drop {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return cmd
}

// canRun tells whether the account can enter dir and execute the program there.
// It is tried, not computed from permission bits: access lists and security
// modules have a say too.
func (a account) canRun(ctx context.Context, dir, program string) error {
	err := a.command(ctx, dir, program, "-V").Run()
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("account %s cannot run %s in %s: %w", a.name, program, dir, err)
	}
	return err
}

// own gives path to the account.
func (a account) own(path string) error {
	if !a.drop {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}
