"""What /metrics says, read as Prometheus would read it."""

from prometheus_client.parser import text_string_to_metric_families

from tests.support.people import Api


class Metrics(dict[str, float]):
    """Samples by name; those with labels by name{label=value,...}, in the order of the labels."""

    def of(self, name: str, **labels: str) -> float:
        """The sum of all samples of that name that have these labels."""
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        return sum(
            value
            for sample, value in self.items()
            if sample.partition("{")[0] == name
            if wanted <= set(sample.partition("{")[2].rstrip("}").split(","))
        )


def scraped(api: Api, headers: dict[str, str] | None = None) -> Metrics:
    """All samples that the API shows."""
    answer = api.get("/metrics", headers=headers or {})
    assert answer.status == 200, answer
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = Metrics()
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            name = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert name not in found, name
            found[name] = sample.value
    return found
