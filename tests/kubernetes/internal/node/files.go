package node

import (
	"fmt"
	"path/filepath"
	"strings"

	"hg-operator.dev/tests/kubernetes/internal/network"
)

// PauseImage holds a pod's namespaces. A name whose first part is `localhost` is never asked for on any network.
const PauseImage = "localhost/pause:1"

// Files are the node's configuration by name.
func (p Plan) Files() map[string]string {
	values := strings.NewReplacer(
		"@DIRECTORY@", p.Directory(), "@NAME@", p.Name(), "@ADDRESS@", p.Address(), "@PODS@", p.Pods(),
		"@SOCKET@", p.Socket(), "@PAUSE@", PauseImage, "@GROUP@", p.Group, "@DNS@", network.ControlPlane,
		"@PKI@", filepath.Join(p.Cluster, "pki"), "@KUBELET_CERTIFICATE@",
		filepath.Join(p.Cluster, "pki", "kubelet-"+p.Name()),
	)
	return map[string]string{
		"containerd.toml":      values.Replace(containerd),
		"cni/10-pods.conflist": values.Replace(cni),
		"kubelet.yaml":         values.Replace(kubelet),
		"proxy.yaml":           ProxyFile(p.file("proxy.conf"), p.Name(), p.Address()),
		"resolv.conf":          values.Replace("nameserver @DNS@\n"),
	}
}

// ProxyFile configures kube-proxy so that it leaves the machine's own settings alone.
func ProxyFile(kubeconfig, name, address string) string {
	return fmt.Sprintf(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection:
  kubeconfig: %s
hostnameOverride: %s
bindAddress: %s
clusterCIDR: %s
conntrack:
  maxPerCore: 0
  min: 0
  tcpEstablishedTimeout: 0s
  tcpCloseWaitTimeout: 0s
`, kubeconfig, name, address, network.Pods)
}

const containerd = `version = 2
root = "@DIRECTORY@/containerd"
state = "@DIRECTORY@/containerd-state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.tracing.processor.v1.otlp"]

[grpc]
  address = "@SOCKET@"

[plugins."io.containerd.internal.v1.opt"]
  path = "@DIRECTORY@/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "@PAUSE@"
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "@DIRECTORY@/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "@DIRECTORY@/cni"
`

const cni = `{
  "cniVersion": "0.4.0",
  "name": "@GROUP@-@NAME@",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "ipMasq": false,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "dataDir": "@DIRECTORY@/addresses",
        "ranges": [[{"subnet": "@PODS@"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`

// A test machine's disk may be nearly full: nothing is evicted and no image is collected for that.
const kubelet = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /@GROUP@/@NAME@
enforceNodeAllocatable: []
containerRuntimeEndpoint: unix://@SOCKET@
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: @PKI@/ca.crt}
authorization:
  mode: Webhook
tlsCertFile: @KUBELET_CERTIFICATE@.crt
tlsPrivateKeyFile: @KUBELET_CERTIFICATE@.key
failSwapOn: false
localStorageCapacityIsolation: false
clusterDNS: ["@DNS@"]
clusterDomain: cluster.local
resolvConf: @DIRECTORY@/resolv.conf
podLogsDir: @DIRECTORY@/pod-logs
volumePluginDir: @DIRECTORY@/plugins
nodeStatusUpdateFrequency: 4s
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard:
  memory.available: 0%
  nodefs.available: 0%
  nodefs.inodesFree: 0%
  imagefs.available: 0%
  imagefs.inodesFree: 0%
`
