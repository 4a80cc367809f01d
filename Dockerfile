# One image, several commands: `docker run IMAGE` starts a whole practice, `docker run IMAGE COMMAND` any command
# of `sorg --help`. Its steps are the scripts of `make setup`, so there is one way to install this, not two.

FROM node:20-bookworm-slim AS viewer
WORKDIR /opt/sorg
COPY deploy/setup deploy/setup
COPY viewer viewer
RUN sh deploy/setup/viewer.sh

FROM python:3.11-slim-bookworm
WORKDIR /opt/sorg
COPY deploy/setup deploy/setup
RUN sh deploy/setup/debian.sh run
COPY . .
RUN sh deploy/setup/python.sh
COPY --from=viewer /opt/sorg/viewer/dist viewer/dist

# The state of a practice is one folder, and the only one that the process may write.
ENV SORG_HOME=/var/lib/sorg
RUN useradd --system --home-dir "$SORG_HOME" sorg && install -d -m 0700 -o sorg -g sorg "$SORG_HOME"
VOLUME /var/lib/sorg
USER sorg

ENTRYPOINT ["/opt/sorg/.venv/bin/sorg"]
CMD ["up"]
