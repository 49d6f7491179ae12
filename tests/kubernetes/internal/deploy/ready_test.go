package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func sample(t *testing.T) Ready {
	t.Helper()
	places := []Place{
		{Listen: "127.0.0.1:1001", Kind: "service", Name: "hg-ssh", Port: 22},
		{Listen: "127.0.0.1:1002", Kind: "service", Name: "web-http", Port: 80},
		{Listen: "127.0.0.1:1003", Kind: "pod", Name: "web-mirror-0", Port: 8080, Subdomain: "web-mirror-instances"},
	}
	if host := places[2].Host(); host != "web-mirror-0.web-mirror-instances.quickstart.svc.cluster.local:8080" {
		t.Error(host)
	}
	ready, err := Deployment{Kubeconfig: "/c/kubeconfig", Programs: "/p"}.NewReady(places,
		Users{User: "someone", IdentityFile: "/c/identity"}, "http://127.0.0.1:1004/x")
	if err != nil {
		t.Fatal(err)
	}
	return ready
}

func TestTheReadyFileHasTheKeysOfAllInOne(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ready.json")
	if err := sample(t).Write(file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found map[string]any
	if err := json.Unmarshal(text, &found); err != nil {
		t.Fatal(err)
	}
	ssh := found["ssh"].(map[string]any)
	if ssh["host"] != "127.0.0.1" || ssh["port"] != 1001.0 || ssh["user"] != "someone" ||
		ssh["identityFile"] != "/c/identity" {
		t.Errorf("%v", ssh)
	}
	mirrors := found["mirrors"].([]any)
	if found["http"] != "http://127.0.0.1:1002" || len(mirrors) != 1 || mirrors[0] != "http://127.0.0.1:1003" {
		t.Errorf("%v", found)
	}
	if found["kubectl"] != "/p/kubectl --kubeconfig=/c/kubeconfig" || found["kubeconfig"] != "/c/kubeconfig" {
		t.Errorf("%v", found)
	}
}

func TestTheTextNamesThePlacesOfTheReadyFile(t *testing.T) {
	text := sample(t).Text("projects/tools")
	for _, line := range []string{
		"hg clone http://127.0.0.1:1002/projects/tools\n", "cd tools\n", "ssh://someone@127.0.0.1:1001/projects/tools\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is not in %s", line, text)
		}
	}
}

func TestWhatIsNotReadyIsNamedWithItsReason(t *testing.T) {
	for output, expected := range map[string]string{
		"":                            "there are no resources",
		"SshMaster hg\tTrue\t\t2 2\n": "",
		"SshMaster hg\tTrue\t\t2 1\n": "not ready: SshMaster hg",
		"SshMaster hg\t\t\t1 \n":      "not ready: SshMaster hg",
		"A a\tTrue\t\t1 1\nB b\tFalse\tno volume\t1 1\n": "not ready: B b: no volume",
	} {
		said := ""
		if err := NotReady(output); err != nil {
			said = err.Error()
		}
		if said != expected {
			t.Errorf("%q: %q", output, said)
		}
	}
}

func TestAnImageHasATag(t *testing.T) {
	if name, tag, err := SplitImage("localhost:5000/a/b:c"); err != nil || name != "localhost:5000/a/b" || tag != "c" {
		t.Errorf("%s, %s, %v", name, tag, err)
	}
	if _, _, err := SplitImage("localhost:5000/a/b"); err == nil {
		t.Error("an image without a tag was accepted")
	}
}
