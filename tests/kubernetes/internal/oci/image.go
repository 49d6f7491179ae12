// Package oci writes a container image as one file, which `ctr images import` takes and no registry has to serve.
package oci

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Image is what goes into the archive.
type Image struct {
	// Names are full ones, with a first part and a tag.
	Names []string
	// RootFileSystem is a tar file, the lowest layer, or empty.
	RootFileSystem string
	// Files are added above it.
	Files      []File
	Entrypoint []string
	// User is `UID:GID`, or empty for root.
	User string
}

// File is one of this machine and its place in the image. Folders above it are made.
type File struct{ From, To string }

// ParseFile reads `target/debug/hgd:/usr/local/bin/hgd`.
func ParseFile(text string) (File, error) {
	from, to, found := strings.Cut(text, ":")
	if !found || !filepath.IsAbs(to) {
		return File{}, fmt.Errorf("%q: write 'FILE:/PLACE/IN/THE/IMAGE'", text)
	}
	return File{From: from, To: to}, nil
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type document map[string]any

const (
	layerType    = "application/vnd.oci.image.layer.v1.tar"
	configType   = "application/vnd.oci.image.config.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	indexType    = "application/vnd.oci.image.index.v1+json"
)

// Write makes the archive. Equal contents make equal layers, so that a node unpacks only what is new.
func (i Image) Write(path string) error {
	files, err := os.CreateTemp(filepath.Dir(path), ".layer-*")
	if err != nil {
		return err
	}
	defer os.Remove(files.Name())
	defer files.Close()
	if err := writeLayer(files, i.Files); err != nil {
		return err
	}
	layers := []string{files.Name()}
	if i.RootFileSystem != "" {
		layers = []string{i.RootFileSystem, files.Name()}
	}
	archive, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	defer archive.Close()
	if err := i.writeArchive(tar.NewWriter(archive), layers); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (i Image) writeArchive(archive *tar.Writer, layers []string) error {
	var stored []descriptor
	var digests []string
	for _, layer := range layers {
		blob, err := storeFile(archive, layer)
		if err != nil {
			return err
		}
		stored = append(stored, blob)
		digests = append(digests, blob.Digest)
	}
	config, err := storeJSON(archive, configType, document{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       document{"Entrypoint": i.Entrypoint, "User": i.User, "Env": []string{defaultPath}},
		"rootfs":       document{"type": "layers", "diff_ids": digests},
	})
	if err != nil {
		return err
	}
	manifest, err := storeJSON(archive, manifestType,
		document{"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": stored})
	if err != nil {
		return err
	}
	var named []descriptor
	for _, name := range i.Names {
		manifest.Annotations = map[string]string{"io.containerd.image.name": name}
		named = append(named, manifest)
	}
	index := document{"schemaVersion": 2, "mediaType": indexType, "manifests": named}
	for name, value := range map[string]any{
		"index.json": index, "oci-layout": document{"imageLayoutVersion": "1.0.0"}} {
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if err := put(archive, name, text); err != nil {
			return err
		}
	}
	return archive.Close()
}

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func storeJSON(archive *tar.Writer, kind string, value any) (descriptor, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return descriptor{}, err
	}
	sum := sha256.Sum256(text)
	blob := descriptor{MediaType: kind, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(text))}
	return blob, put(archive, place(blob), text)
}

func storeFile(archive *tar.Writer, path string) (descriptor, error) {
	file, err := os.Open(path)
	if err != nil {
		return descriptor{}, err
	}
	defer file.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, file)
	if err != nil {
		return descriptor{}, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return descriptor{}, err
	}
	blob := descriptor{MediaType: layerType, Digest: "sha256:" + hex.EncodeToString(hash.Sum(nil)), Size: size}
	if err := archive.WriteHeader(&tar.Header{Name: place(blob), Mode: 0o644, Size: size}); err != nil {
		return descriptor{}, err
	}
	_, err = io.Copy(archive, file)
	return blob, err
}

func place(blob descriptor) string {
	return "blobs/sha256/" + strings.TrimPrefix(blob.Digest, "sha256:")
}

func put(archive *tar.Writer, name string, text []byte) error {
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
		return err
	}
	_, err := archive.Write(text)
	return err
}

// writeLayer keeps no times and no owners: equal files make an equal layer.
func writeLayer(to io.Writer, files []File) error {
	layer := tar.NewWriter(to)
	made := map[string]bool{".": true}
	for _, file := range files {
		name := strings.TrimPrefix(filepath.Clean(file.To), "/")
		if err := writeFolders(layer, filepath.Dir(name), made); err != nil {
			return err
		}
		if err := writeFile(layer, file.From, name); err != nil {
			return err
		}
	}
	return layer.Close()
}

func writeFolders(layer *tar.Writer, folder string, made map[string]bool) error {
	if made[folder] {
		return nil
	}
	if err := writeFolders(layer, filepath.Dir(folder), made); err != nil {
		return err
	}
	made[folder] = true
	return layer.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: 0o755})
}

func writeFile(layer *tar.Writer, from, name string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	about, err := source.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{Name: name, Mode: int64(about.Mode().Perm()), Size: about.Size()}
	if err := layer.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(layer, source)
	return err
}
