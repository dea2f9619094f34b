#!/bin/sh
# Makes the corpus of the documented samples: each file for `lint`, its list alone for `convert`, and the managed
# add-on's JSON, plain and as Terraform carries it, for `addon` and `lint`; files of tools for infrastructure, for `lint`.
set -eu
cd "$(dirname "$0")"
mkdir -p corpus/lint corpus/convert corpus/addon
for sample in ../cli/samples/*.yaml; do
  name=$(basename "$sample" .yaml)
  cp "$sample" "corpus/lint/$name"
  sed '1,/acr-registry-info/d; s/^    //' "$sample" > "corpus/convert/$name"
done
for file in ../cli/structured/*; do
  cp "$file" "corpus/lint/$(basename "$file")"
done
printf '%s' '[{"instanceId": "cri-a,cri-b", "regionId": "CN-beijing", "domains": ["a.com"]}, {"InstanceId": "cri-a"}]' > corpus/convert/brackets
printf 'instanceId：cri-a\n\tregionId:“cn-beijing” // a\n- instanceId: cri-a\n  customAccessKey: “LTAI”\n\0enable: on\0enable: true\n\0“Default”，b\0all,prod\0' > corpus/convert/slips
json='{"AcrInstanceInfo": [{"instanceId": "cri-a,cri-b", "regionId": "cn-beijing", "domains": "", "assumeRoleARN": "acs:ram::2:role/b", "expireDuration": "7200"}], "enableRRSA": true, "watchNamespace": "prod,dev", "serviceAccount": "*", "expiringThreshold": "30min"}'
for target in addon lint; do
  printf '%s' "$json" > "corpus/$target/plain"
  printf '"%s"' "$(printf '%s' "$json" | sed 's/"/\\"/g')" > "corpus/$target/terraform"
done
