# tdspace in two images: `tds` (operator, enterprises, auditor) and `proxy` (what stands before the
# operator), and a third for those who keep the log on PostgreSQL. Each layer changes less often than
# the next: a change of code copies files and compiles.
#
#   docker build --target tds -t tdspace .
#
# Where the default index has only torch with CUDA, name one that has the CPU build:
#   docker build --build-arg PIP_EXTRA_INDEX_URL=ADDRESS .

FROM python:3.11-slim-bookworm AS dependencies
ARG PIP_EXTRA_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv /opt/venv
COPY constraints.txt /src/
# torch goes first and alone: asked for loosely, it brings gigabytes of CUDA.
RUN /opt/venv/bin/pip install -q -c /src/constraints.txt "torch==2.13.0"
COPY pyproject.toml LICENSE /src/
# The packages are empty here, so that only dependencies, metadata and the `tds` script remain. The
# code comes as a layer of its own, found by the .pth file; headers of torch, tests and pip go.
RUN cd /src && for name in policies ledger server clients auditors commands; do \
      mkdir $name && touch $name/__init__.py; done && touch README.md \
 && /opt/venv/bin/pip install -q -c constraints.txt ".[demo,postgres,otel,metrics]" \
 && cd /opt/venv/lib/python3*/site-packages \
 && rm -rf policies ledger server clients auditors commands \
      torch/include torch/share torch/test \
 && find torch/bin -type f ! -name torch_shm_manager -delete \
 && for name in numpy scipy sklearn sympy joblib networkx; do \
      find $name -type d -name tests -prune -exec rm -rf {} +; done \
 && rm -rf pip pip-*.dist-info /opt/venv/bin/pip* \
 && echo /opt/tds >tdspace.pth \
 && { /opt/venv/bin/python -m compileall -q -j 2 --invalidation-mode unchecked-hash . || true; }

FROM dependencies AS code
COPY policies /opt/tds/policies
COPY ledger /opt/tds/ledger
COPY server /opt/tds/server
COPY clients /opt/tds/clients
COPY auditors /opt/tds/auditors
COPY commands /opt/tds/commands
RUN /opt/venv/bin/python -m compileall -q -j 2 --invalidation-mode unchecked-hash /opt/tds

FROM python:3.11-slim-bookworm AS tds
# Volumes take owner and mode from these folders when they are first mounted.
RUN groupadd --gid 10001 tds && useradd --uid 10001 --gid tds --no-create-home --home-dir /tmp tds \
 && install -d -o tds -g tds -m 0700 /space /superlink /front /consumer /public /node /invited \
      /socket /join /join/riverside /join/northgate /join/lakeview /join/westpark /join/hillcrest
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=code /opt/tds /opt/tds
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1 OMP_NUM_THREADS=1 MALLOC_ARENA_MAX=2 \
    FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1 FLWR_HOME=/tmp/flwr
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["tds"]
CMD ["--help"]

FROM debian:bookworm-slim AS proxy
RUN apt-get update -q && apt-get install -y -q --no-install-recommends nginx-light libnginx-mod-stream \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /etc/nginx/sites-enabled /var/log/nginx/* \
 && groupadd --gid 10001 tds && useradd --uid 10001 --gid tds --no-create-home --home-dir /tmp tds \
 && install -d -o tds -g tds -m 0700 /front
COPY docker/nginx.conf docker/console.conf /etc/nginx/
USER 10001:10001
ENTRYPOINT ["nginx"]

FROM postgres:15-bookworm AS ledger
RUN groupadd --gid 10001 tds && useradd --uid 10001 --gid tds --no-create-home --home-dir /tmp tds \
 && install -d -o tds -g tds -m 0700 /ledger /socket
COPY docker/ledger.sh /usr/local/bin/
USER 10001:10001
ENTRYPOINT ["bash", "/usr/local/bin/ledger.sh"]
