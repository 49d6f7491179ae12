package oci

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnArchiveHoldsWhatItsIndexNames(t *testing.T) {
	directory := t.TempDir()
	program := filepath.Join(directory, "program")
	if err := os.WriteFile(program, []byte("text"), 0o755); err != nil {
		t.Fatal(err)
	}
	image := Image{Names: []string{"localhost/a:1", "localhost/a:2"}, Files: []File{{program, "/usr/bin/program"}},
		Entrypoint: []string{"/x"}}
	archive := filepath.Join(directory, "image.tar")
	if err := image.Write(archive); err != nil {
		t.Fatal(err)
	}
	blobs := contents(t, archive)
	var index struct{ Manifests []descriptor }
	read(t, blobs["index.json"], &index)
	for at, name := range image.Names {
		if found := index.Manifests[at].Annotations["io.containerd.image.name"]; found != name {
			t.Errorf("the image is called %q", found)
		}
	}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	read(t, blobs[place(index.Manifests[0])], &manifest)
	if _, found := blobs[place(manifest.Config)]; !found || len(manifest.Layers) != 1 {
		t.Errorf("%+v", manifest)
	}
	for name, text := range blobs {
		sum := sha256.Sum256([]byte(text))
		if digest, is := strings.CutPrefix(name, "blobs/sha256/"); is && digest != hex.EncodeToString(sum[:]) {
			t.Errorf("%s has another digest", name)
		}
	}
	layer := blobs[place(manifest.Layers[0])]
	names := strings.Join(names(t, layer), " ")
	if names != "usr/ usr/bin/ usr/bin/program" {
		t.Errorf("the layer holds %s", names)
	}
}

func TestEqualFilesMakeAnEqualLayer(t *testing.T) {
	directory := t.TempDir()
	var layers [2]strings.Builder
	for index, name := range []string{"a", "b"} {
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, []byte("text"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := writeLayer(&layers[index], []File{{path, "/program"}}); err != nil {
			t.Fatal(err)
		}
	}
	if layers[0].String() != layers[1].String() {
		t.Error("they differ")
	}
}

func TestAFileNeedsAPlace(t *testing.T) {
	if file, err := ParseFile("a/b:/c/d"); err != nil || file != (File{"a/b", "/c/d"}) {
		t.Errorf("%v, %v", file, err)
	}
	for _, wrong := range []string{"a", "a:b", ""} {
		if _, err := ParseFile(wrong); err == nil {
			t.Errorf("%q was accepted", wrong)
		}
	}
}

func read(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	each(t, string(text), func(name, content string) { found[name] = content })
	return found
}

func names(t *testing.T, text string) []string {
	var found []string
	each(t, text, func(name, _ string) { found = append(found, name) })
	return found
}

func each(t *testing.T, text string, visit func(name, content string)) {
	t.Helper()
	archive := tar.NewReader(strings.NewReader(text))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		visit(header.Name, string(content))
	}
}
