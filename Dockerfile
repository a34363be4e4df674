# The program with what clusters need. One image for CPU and CUDA: the torch that pip installs by
# default on Linux brings CUDA, and runs without it.
#
#   docker build -t pipeline .
#   docker build -t pipeline --build-arg PIP_EXTRA="--extra-index-url INDEX" .   a smaller torch
#   docker run --rm -v "$PWD/runs:/runs" pipeline run isosceles --n 16
#   docker run --rm --gpus all -v "$PWD/runs:/runs" pipeline doctor
FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE CITATION.cff ./
COPY pipeline pipeline
COPY problems problems
COPY records records
COPY docs/schemas docs/schemas
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
ARG PIP_EXTRA=""
COPY --from=build /wheels /wheels
# PIP_EXTRA is options of pip, so it is split into words; the wheel has one version, this one.
# hadolint ignore=SC2086,DL3013
RUN wheel=$(ls /wheels/*.whl) \
    && pip install --no-cache-dir ${PIP_EXTRA} "${wheel}[plot,ray,slurm]" \
    && useradd --uid 1000 --create-home pipeline \
    && mkdir /runs \
    && chown 1000 /runs
USER 1000
ENV PIPELINE_RUNS=/runs PYTHONUNBUFFERED=1
VOLUME /runs
ENTRYPOINT ["pipeline"]
CMD ["--help"]
