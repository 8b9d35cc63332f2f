#!/usr/bin/env bash
# Bring the CustomResourceDefinitions that tests/manifests checks against: .github/crds.sh FOLDER
set -euo pipefail
output=$1
fetch() {
  local name=$1 repository=$2 commit=$3 path=$4 copy
  copy=$(mktemp -d)
  git -C "$copy" init --quiet
  git -C "$copy" sparse-checkout set --no-cone "/$path/"
  git -C "$copy" fetch --quiet --depth 1 --filter blob:none "https://github.com/$repository" "$commit"
  git -C "$copy" checkout --quiet FETCH_HEAD
  mkdir -p "$output/$name"
  cp "$copy/$path"/*.yaml "$output/$name"
  rm -rf "$copy" "$output/$name/kustomization.yaml"
}
fetch kserve kserve/kserve aaac4e294dae2c7b1aa1886447793f3aa1c30912 config/crd/full
fetch gateway-api kubernetes-sigs/gateway-api 4564255ac2c35d582249b3cdf261bdf51c8bca32 config/crd/standard
fetch cert-manager cert-manager/cert-manager 2d0d7f7f74241a9cbf79f0e2a7bb247238ee09fd deploy/crds
fetch prometheus-operator prometheus-operator/prometheus-operator \
  6adcebc5076c34f4f55f8f5f7b1e528929373ac7 example/prometheus-operator-crd
