// Package provisioner gives each claim a folder of this machine, which all nodes of a test cluster share.
package provisioner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// Name is what a StorageClass says.
const Name = "hg-operator.dev/testbed"

// limited is a StorageClass's parameter: a volume is a file system of its own in memory, no larger than its claim. Any
// other has what the machine's disk has.
const limited = "limited"

// The kubelet does not apply `fsGroup` to folders of the host, so everybody may write from the start.
const mode = 0o777

type folders struct{ directory string }

// Run serves claims until `ctx` ends.
func Run(ctx context.Context, kubeconfig, directory string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	only := controller.LeaderElection(false)
	controller.NewProvisionController(ctx, client, Name, folders{directory}, only).Run(ctx)
	return nil
}

// Provision makes a folder. One that only one node may use is kept on that node, as a disk would be.
func (f folders) Provision(_ context.Context, options controller.ProvisionOptions,
) (*core.PersistentVolume, controller.ProvisioningState, error) {
	path := filepath.Join(f.directory, options.PVName)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, controller.ProvisioningNoChange, err
	}
	size := options.PVC.Spec.Resources.Requests[core.ResourceStorage]
	if options.StorageClass.Parameters[limited] == "true" {
		text := fmt.Sprintf("size=%d", size.Value())
		if err := syscall.Mount("tmpfs", path, "tmpfs", 0, text); err != nil {
			return nil, controller.ProvisioningInBackground, err
		}
	}
	// MkdirAll leaves out what the process's mask says.
	if err := os.Chmod(path, mode); err != nil {
		return nil, controller.ProvisioningInBackground, err
	}
	kind := core.HostPathDirectory
	volume := &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: options.PVName},
		Spec: core.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *options.StorageClass.ReclaimPolicy,
			AccessModes:                   options.PVC.Spec.AccessModes,
			VolumeMode:                    options.PVC.Spec.VolumeMode,
			Capacity:                      core.ResourceList{core.ResourceStorage: size},
			PersistentVolumeSource: core.PersistentVolumeSource{
				HostPath: &core.HostPathVolumeSource{Path: path, Type: &kind},
			},
			NodeAffinity: affinity(options),
		},
	}
	return volume, controller.ProvisioningFinished, nil
}

func affinity(options controller.ProvisionOptions) *core.VolumeNodeAffinity {
	for _, access := range options.PVC.Spec.AccessModes {
		if access == core.ReadWriteMany || access == core.ReadOnlyMany {
			return nil
		}
	}
	if options.SelectedNodeName == "" {
		return nil
	}
	here := core.NodeSelectorRequirement{Key: core.LabelHostname, Operator: core.NodeSelectorOpIn,
		Values: []string{options.SelectedNodeName}}
	terms := []core.NodeSelectorTerm{{MatchExpressions: []core.NodeSelectorRequirement{here}}}
	return &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: terms}}
}

// Delete removes the folder with everything in it.
func (f folders) Delete(_ context.Context, volume *core.PersistentVolume) error {
	path := filepath.Join(f.directory, volume.Name)
	// Lazily, for the pod may not quite have gone; EINVAL says that nothing is mounted there.
	if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) &&
		!errors.Is(err, syscall.ENOENT) {
		return err
	}
	return os.RemoveAll(path)
}
