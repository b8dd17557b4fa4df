#   docker build -t chomp .
#   docker run --init --stop-timeout 60 -p 127.0.0.1:8001:8001 -v chomp:/app/state \
#     -e CHOMP_API_TOKEN="$(openssl rand -hex 32)" chomp
#
# or: docker compose -f bin/compose.yaml up -d (which says what agents need to be shut in here)
#
# HOST=0.0.0.0 because a port is published from outside the container; chomp then starts
# only with an explicit CHOMP_API_TOKEN, which belongs to the run and never into an image.
# --init: agents leave children behind, and chomp is no init that collects them.
# --stop-timeout: streams get 30 s to end; Docker's own 10 s would cut them.
#
# The Python that bin/test was run on last.
FROM python:3.11-slim

RUN apt-get update \
    && apt-get install -y --no-install-recommends bubblewrap curl git libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home chomp \
    && install -d -o chomp /app/state

WORKDIR /app

# Packages and weights before the code, so that a changed line does not fetch them again. Wheels only: no compiler is here.
# Of chomp itself, which is not there yet, only the packages it needs are kept.
# EXTRAS: local,postgres for replicas that share a database.
ARG EXTRAS=local
COPY pyproject.toml LICENSE ./
RUN mkdir -p adapters/cloudflare adapters/cloudflare/src adapters/dialects adapters/hosts adapters/places adapters/subscriptions adapters/services adapters/stores adapters/written bin static templates/accounts templates/arena templates/chat templates/docs templates/experiments templates/notify templates/partials templates/tower \
    && pip install --no-cache-dir --only-binary :all: ".[$EXTRAS]" \
    && pip uninstall --yes chomp \
    && rm -rf build chomp.egg-info
COPY bin/local-model bin/
USER chomp
RUN python bin/local-model install

COPY chomp_server.py ./
COPY adapters adapters
COPY bin bin
COPY static static
COPY templates templates
USER root
RUN python -m compileall -q chomp_server.py adapters \
    && ln -s /app/bin/chomp /usr/local/bin/chomp
USER chomp
VOLUME /app/state

ENV HOST=0.0.0.0 PORT=8001
EXPOSE 8001
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["chomp", "health"]
CMD ["python", "-m", "chomp_server"]
