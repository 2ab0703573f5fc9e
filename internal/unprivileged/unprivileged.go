// Package unprivileged runs programs that refuse to run as root: started by
// root they get an account without rights, started by anybody else they run as
// that user.
package unprivileged

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

// Account is whom a program runs as. The zero value is the current user.
type Account struct {
	Name     string
	UID, GID uint32
	// Drop says that the process must change to it, from root.
	Drop bool
}

// Pick returns the account to run a program as: the current user, or for root
// the first of the names that exists and is not root itself. ok is false if
// there is none.
func Pick(names []string) (a Account, ok bool) {
	if os.Geteuid() != 0 {
		return Account{}, true
	}
	for _, name := range names {
		if u, err := user.Lookup(name); err == nil {
			if a, err := Of(u); err == nil && a.UID != 0 {
				return a, true
			}
		}
	}
	return Account{}, false
}

// Of is a user as an account to change to.
func Of(u *user.User) (Account, error) {
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return Account{}, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return Account{}, err
	}
	return Account{Name: u.Username, UID: uint32(uid), GID: uint32(gid), Drop: true}, nil
}

// Command prepares a program that runs as the account in dir, in a process group
// of its own, so that Ctrl-C in a terminal reaches only us. Of our environment it
// gets PATH.
func (a Account) Command(ctx context.Context, dir, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// Messages in English, whatever the user's language: some of them are read.
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TZ=UTC"}
	if a.Drop {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.UID, Gid: a.GID}
	}
	return cmd
}

// CanRun tells whether the account can enter dir and execute the program there.
// It is tried, not computed from permission bits: access lists and security
// modules have a say too.
func (a Account) CanRun(ctx context.Context, dir, program string, args ...string) error {
	err := a.Command(ctx, dir, program, args...).Run()
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("account %s cannot run %s in %s: %w", a.Name, program, dir, err)
	}
	return err
}

// Own gives path to the account.
func (a Account) Own(path string) error {
	if !a.Drop {
		return nil
	}
	return os.Chown(path, int(a.UID), int(a.GID))
}
