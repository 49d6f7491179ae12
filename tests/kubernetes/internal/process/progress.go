package process

import (
	"fmt"
	"io"
	"time"
)

// Progress tells a person what is being done, each line with the seconds since the start.
type Progress struct {
	started time.Time
	to      io.Writer
}

// NewProgress starts the clock.
func NewProgress(to io.Writer) Progress {
	return Progress{started: time.Now(), to: to}
}

// Say prints one line.
func (p Progress) Say(format string, values ...any) {
	fmt.Fprintf(p.to, "[%5.1f s] %s\n", time.Since(p.started).Seconds(), fmt.Sprintf(format, values...))
}
