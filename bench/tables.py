"""Held-out nats of tables by configs/points.toml, beside a Gaussian mixture and a kernel density estimate.

    python3 -m venv ~/tables && ~/tables/bin/pip install scikit-learn statsmodels vega_datasets
    ~/tables/bin/python bench/tables.py --vapo build/release/bin/vapo --out bench/results/mine.json

Of each table a fifth of the rows is held out from all three. Columns whose values come 20 times or more on average are
discrete: uniform noise as wide as the median gap between their values, the same for all three. The mean log-density of
what is held out is in nats, of columns standardised by the mean and deviation of the rows trained on. vapo gets the table
as it is and nothing but its path.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import tempfile
import time

import numpy as np
from contest import ROOT, cpu_name, text_of

SEEDS = 3  # of the mixture


def of_sklearn(name):
    from sklearn import datasets

    return getattr(datasets, f"load_{name}")().data


def of_statsmodels(name, columns=None):
    import statsmodels.api as sm

    table = getattr(sm.datasets, name).load_pandas().data
    return table[columns or list(table)].to_numpy(float)


def of_vega(name, columns):
    from vega_datasets import local_data

    return getattr(local_data, name)()[columns].dropna().to_numpy(float)


# The last five were chosen before anything was trained on them.
TABLES = {
    "iris": lambda: of_sklearn("iris"),
    "wine": lambda: of_sklearn("wine"),
    "breast_cancer": lambda: of_sklearn("breast_cancer"),
    "diabetes": lambda: of_sklearn("diabetes"),
    "fair": lambda: of_statsmodels("fair"),
    "cars": lambda: of_vega(
        "cars", ["Miles_per_Gallon", "Cylinders", "Displacement", "Horsepower", "Weight_in_lbs", "Acceleration"]
    ),
    "airports": lambda: of_vega("airports", ["latitude", "longitude"]),
    "seattle_weather": lambda: of_vega("seattle_weather", ["temp_max", "temp_min", "wind"]),
    "engel": lambda: of_statsmodels("engel"),
    "grunfeld": lambda: of_statsmodels("grunfeld", ["invest", "value", "capital"]),
}


def split(name):
    x = np.asarray(TABLES[name](), float)
    rng = np.random.default_rng(0)
    for k in range(x.shape[1]):
        values = np.unique(x[:, k])
        if len(values) * 20 <= len(x):
            x[:, k] += rng.uniform(0, np.median(np.diff(values)), len(x))
    x = x[rng.permutation(len(x))]
    held_out = len(x) // 5
    return x[held_out:], x[:held_out]


def mixture_of_four(rows, seed):
    """Five dimensions: rows to train on, rows held out, and the log-densities of these by the truth."""
    from scipy.special import logsumexp
    from scipy.stats import multivariate_normal

    rng = np.random.default_rng(1000 + seed)
    shares = rng.dirichlet(np.full(4, 5.0))
    parts = []
    for _ in range(4):
        rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
        deviations = rng.uniform(0.4, 1.2, 5)
        parts.append((rng.normal(0, 3, 5), rotation * deviations**2 @ rotation.T))
    which = rng.choice(4, rows + 4000, p=shares)
    x = np.stack([rng.multivariate_normal(*parts[k]) for k in which])
    test = x[rows:]
    logs = np.stack([np.log(s) + multivariate_normal(*p).logpdf(test) for s, p in zip(shares, parts)])
    return x[:rows], test, logsumexp(logs, axis=0)


def gaussian_mixture(train, test):
    from sklearn.mixture import GaussianMixture

    fits = [
        GaussianMixture(k, covariance_type=kind, n_init=3, random_state=0).fit(train)
        for kind in ("full", "tied", "diag", "spherical")
        for k in range(1, 11)
        if k < len(train)
    ]
    best = min(fits, key=lambda f: f.bic(train))
    return best.score(test), f"{best.n_components} {best.covariance_type}"


def kernel_density(train, test):
    from sklearn.model_selection import GridSearchCV
    from sklearn.neighbors import KernelDensity

    # cross-validation needs no more than 2,000 rows to tell bandwidths apart
    search = GridSearchCV(KernelDensity(), {"bandwidth": np.geomspace(0.02, 2, 40)}, cv=5).fit(train[:2000])
    best = search.best_params_["bandwidth"]
    return KernelDensity(bandwidth=best).fit(train).score(test) / len(test), f"h {best:.3f}"


def vapo(program, train, test, settings=(), seed=0):
    """Mean log-density in the table's own units; what was chosen; seconds of a clock and of the processors."""
    with tempfile.TemporaryDirectory() as folder:
        rows, held_out = (f"{folder}/{n}.csv" for n in ("train", "test"))
        header = ",".join(f"x{k}" for k in range(train.shape[1]))
        np.savetxt(rows, train, "%.17g", ",", header=header, comments="")
        np.savetxt(held_out, test, "%.17g", ",", header=header, comments="")
        sets = [f"data.path={rows}", "data.held_out=0", *settings]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
        trained = subprocess.run(
            [program, "train", ROOT / "configs/points.toml", "--out", f"{folder}/run", "--seed", str(seed)]
            + [word for s in sets for word in ("--set", s)],
            capture_output=True,
            text=True,
        )
        seconds, after = time.time() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        if trained.returncode != 0:
            raise SystemExit(trained.stderr)
        likelihood = [program, "likelihood", f"{folder}/run", "--data", held_out, "--json"]
        answer = subprocess.run(likelihood, capture_output=True, text=True, check=True)
        chosen = [line for line in trained.stderr.splitlines() if "chosen" in line]
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return json.loads(answer.stdout)["nats"], chosen, round(seconds, 1), round(cpu, 1)


def of_table(name, program):
    train, test = split(name)
    mean, scale = train.mean(0), train.std(0)
    by_columns = [(x - mean) / scale for x in (train, test)]
    nats, chosen, seconds, cpu = vapo(program, train, test)
    mixture, kernels = gaussian_mixture(*by_columns), kernel_density(*by_columns)
    return {
        "rows": len(train),
        "columns": train.shape[1],
        "mixture": round(mixture[0], 3),
        "mixture_is": mixture[1],
        "kernels": round(kernels[0], 3),
        "kernels_are": kernels[1],
        "vapo": round(nats + np.log(scale).sum(), 3),
        "chosen": chosen,
        "seconds": seconds,
        "cpu_seconds": cpu,
    }


def of_mixture(seed, program):
    train, test, logs = mixture_of_four(20_000, seed)
    truth = logs.mean()
    nats, chosen, seconds, cpu = vapo(program, train, test, seed=seed)
    return {
        "truth": round(truth, 3),
        "vapo": round(nats, 3),
        "short_of_it": round(truth - nats, 3),
        "chosen": chosen,
        "seconds": seconds,
        "cpu_seconds": cpu,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vapo", type=pathlib.Path, default=ROOT / "build/release/bin/vapo")
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--only", nargs="*", help="tables, or 'mixture'")
    options = parser.parse_args()
    chosen = options.only or [*TABLES, "mixture"]
    result = {"cpu": cpu_name(), "cores": os.cpu_count(), "commit": text_of(["git", "rev-parse", "--short", "HEAD"])}
    result |= {"tables": {}, "mixture": []}
    for name in chosen:
        if name == "mixture":
            result["mixture"] = [of_mixture(seed, options.vapo) for seed in range(SEEDS)]
            print(name, *result["mixture"], sep="\n  ", flush=True)
        else:
            result["tables"][name] = of_table(name, options.vapo)
            print(name, result["tables"][name], flush=True)
    tables = result["tables"].values()
    result["as_good_as_the_better"] = sum(t["vapo"] >= max(t["mixture"], t["kernels"]) for t in tables)
    if options.out:
        options.out.write_text(json.dumps(result, indent=2, default=float) + "\n")


if __name__ == "__main__":
    main()
