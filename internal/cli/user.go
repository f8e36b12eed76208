package cli

import (
	"io"
	"os"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/supervise"
)

// userNew is the value of --uid for a user who exists for the run alone.
const userNew = "new"

// userOptions say whose the delivery is and, under run, as whom CMD runs.
type userOptions struct {
	uid   int  // 0 is this user
	own   bool // a user who exists for the run alone, and who is taken by take
	share bool // a user who has processes will do
}

func newUserFlags(usage string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name: flagUID,
			Usage: usage + "; \"" + userNew + "\": as a user who exists for this run alone, and whose processes " +
				"end with it",
		},
		&cli.BoolFlag{
			Name:  flagShareUID,
			Usage: "with --" + flagUID + ", even if that user has processes, which then have the run's access too",
		},
	}
}

// parseUser reads the flags of newUserFlags.
func parseUser(c *cli.Context) (userOptions, error) {
	o := userOptions{share: c.Bool(flagShareUID)}
	word := c.String(flagUID)
	switch {
	case !c.IsSet(flagUID) && o.share:
		return o, usage(c, "--%s is of use with --%s only", flagShareUID, flagUID)
	case !c.IsSet(flagUID):
		return o, nil
	case word == userNew && o.share:
		return o, usage(c, "--%s %s and --%s exclude each other", flagUID, userNew, flagShareUID)
	case word == userNew:
		o.own = true
		return o, nil
	}
	uid, err := strconv.Atoi(word)
	switch {
	case err != nil || uid <= 0 || uid >= 1<<31: // before what follows: root may be who runs this
		return o, usage(c, "--%s is the number of a user, and not root's, or %q", flagUID, userNew)
	case uid == os.Geteuid():
		return userOptions{}, nil
	}
	o.uid = uid
	return o, nil
}

// take makes sure of the user. If the user exists for the run alone, the number is to be given
// back, by Free, unless there is a run that has it.
func (o *userOptions) take(random io.Reader) (own supervise.OwnUser, err error) {
	if o.own {
		own, err = supervise.TakeUser(random)
		o.uid = own.UID
		return own, err
	}
	if o.uid == 0 {
		return own, nil
	}
	if _, err := supervise.FindUser(o.uid); err != nil {
		return own, err
	}
	return own, o.vacant()
}

// vacant refuses a user who has processes, unless it is this one, the run's own, or meant to
// share. Processes can come at any time: it is asked each time before access is handed over.
func (o userOptions) vacant() error {
	if o.uid == 0 || o.own || o.share {
		return nil
	}
	return supervise.Vacant(o.uid)
}
