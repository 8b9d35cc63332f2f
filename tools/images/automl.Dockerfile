# The environment of the AutoML step: auto-sklearn on Python 3.9.
# Built by `make images`, which lays out the context and passes the arguments; the network is
# not needed: wheels/ has every wheel of the lock.
ARG BASE
FROM ${BASE} AS build
COPY wheels /build/wheels
COPY lock /build/lock
COPY install.sh sbom.py /build/
RUN sh /build/install.sh automl
COPY app /opt/toolwear/app
# Only what the step imports is written for Python 3.9; importing it leaves its bytecode.
RUN cd /opt/toolwear/app && /opt/toolwear/venv/bin/python -c "import components.automl.step, components.automl.launch"

FROM ${BASE}
# What installs packages is of no use in a container that nobody may change.
RUN rm -rf /usr/local/lib/python3.*/site-packages/* /usr/local/lib/python3.*/ensurepip \
      /usr/local/bin/pip* \
    && echo 'toolwear:x:65532:65532::/tmp:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'toolwear:x:65532:' >> /etc/group \
    && mkdir -p /var/lib/toolwear && chown 65532:65532 /var/lib/toolwear
COPY --from=build /opt/toolwear/venv /opt/toolwear/venv
COPY --from=build /opt/toolwear/sbom.cdx.json /usr/share/sbom/toolwear.cdx.json
# What changes with every commit comes last, so that a build of new code copies the code only.
ARG BASE
ARG COMMIT
ARG CREATED
ARG VERSION
ARG CODE
LABEL org.opencontainers.image.title="toolwear/automl" \
      org.opencontainers.image.description="The AutoML step of the toolwear graph" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE}" \
      toolwear.code="${CODE}"
COPY --from=build /opt/toolwear/app /opt/toolwear/app
ENV PATH=/opt/toolwear/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/toolwear/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    USER=toolwear \
    MPLCONFIGDIR=/tmp/matplotlib \
    TOOLWEAR_HOME=/var/lib/toolwear \
    TOOLWEAR_COMMIT=${COMMIT} \
    MLFLOW_DISABLE_TELEMETRY=true \
    DO_NOT_TRACK=true
WORKDIR /opt/toolwear/app
USER 65532:65532
CMD ["python", "-m", "components.automl", "--help"]
