package deploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"hg-operator.dev/tests/kubernetes/internal/process"
)

// secret is the name that examples/quickstart.yaml uses.
const secret = "developers"

// Users is who may log in, and as whom the examples do.
type Users struct {
	AuthorizedKeys string
	User           string
	IdentityFile   string
}

var userName = regexp.MustCompile(`^[a-z_][a-z0-9_.-]*$`)

// PrepareUsers takes the person's own keys, else makes one for the purpose, as all-in-one does.
func PrepareUsers(ctx context.Context, directory string) (Users, error) {
	users := Users{AuthorizedKeys: filepath.Join(directory, "authorized_keys"), User: account()}
	identities := ownIdentities()
	if len(identities) == 0 {
		made := filepath.Join(directory, "identity")
		if _, err := os.Stat(made); errors.Is(err, fs.ErrNotExist) {
			if err := os.MkdirAll(directory, 0o755); err != nil {
				return users, err
			}
			_, err := process.Output(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", users.User, "-f", made)
			if err != nil {
				return users, err
			}
		}
		identities = []string{made}
	}
	users.IdentityFile = identities[0]
	var lines strings.Builder
	for _, identity := range identities {
		text, err := os.ReadFile(identity + ".pub")
		if err != nil {
			return users, err
		}
		fields := strings.Fields(string(text))
		if len(fields) < 2 {
			return users, fmt.Errorf("%s.pub is no public key", identity)
		}
		fmt.Fprintf(&lines, "%s %s %s\n", fields[0], fields[1], users.User)
	}
	return users, os.WriteFile(users.AuthorizedKeys, []byte(lines.String()), 0o644)
}

func account() string {
	for _, variable := range []string{"USER", "LOGNAME"} {
		if name := os.Getenv(variable); userName.MatchString(name) {
			return name
		}
	}
	return "developer"
}

func ownIdentities() []string {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil
	}
	var found []string
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		path := filepath.Join(home, ".ssh", name)
		_, private := os.Stat(path)
		_, public := os.Stat(path + ".pub")
		if private == nil && public == nil {
			found = append(found, path)
		}
	}
	return found
}
