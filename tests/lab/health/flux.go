package main

import (
	"context"
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	fluxcel "github.com/fluxcd/pkg/runtime/cel"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// kstatus returns the verdict of Flux's wait, of its HelmReleases and of helm --wait.
func kstatus(object *unstructured.Unstructured) (Reply, error) {
	result, err := status.Compute(object)
	if err != nil {
		return Reply{}, err
	}
	return Reply{Status: result.Status.String(), Message: result.Message}, nil
}

// cel returns the verdict of a Flux object with spec.healthCheckExprs.
func cel(expressions *kustomize.HealthCheckExpressions, object *unstructured.Unstructured) (Reply, error) {
	evaluator, err := fluxcel.NewStatusEvaluator(expressions)
	if err != nil {
		return Reply{}, err
	}
	result, err := evaluator.Evaluate(context.Background(), object)
	if err != nil {
		return Reply{}, err
	}
	return Reply{Status: result.Status.String(), Message: result.Message}, nil
}

// manifest reads a manifest into Flux's own types, and refuses a field that they do not have.
func manifest(kind string, text []byte) (Reply, error) {
	types := map[string]any{
		"GitRepository": &sourcev1.GitRepository{},
		"HelmRelease":   &helmv2.HelmRelease{},
		"Kustomization": &kustomizev1.Kustomization{},
		"Namespace":     &corev1.Namespace{},
	}
	into, known := types[kind]
	if !known {
		return Reply{}, fmt.Errorf("there is no type for the kind %q", kind)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		return Reply{}, err
	}
	return Reply{Status: kind}, nil
}
