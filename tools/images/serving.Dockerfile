# The environment of predictor, transformer and explainer.
# Built by `make images`, which lays out the context and passes the arguments; the network is
# not needed: wheels/ has every wheel of the lock.
ARG BASE
FROM ${BASE} AS build
COPY wheels /build/wheels
COPY lock /build/lock
COPY install.sh sbom.py /build/
RUN sh /build/install.sh serving
COPY app /opt/toolwear/app
RUN /opt/toolwear/venv/bin/python -m compileall -q /opt/toolwear/app

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
LABEL org.opencontainers.image.title="toolwear/serving" \
      org.opencontainers.image.description="Predictor, transformer and explainer of toolwear, on KServe" \
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
# KServe's storage initializer puts the model there; MODEL_SHA256 tells its digest. The other two
# servers set HEALTH_URL to their own address; Kubernetes asks by its own probes.
ENV HEALTH_URL=http://127.0.0.1:8081/v2/health/ready
EXPOSE 8080 8081 8082 8083
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(os.environ['HEALTH_URL'], timeout=4)"]
CMD ["python", "-m", "serving.predictor", "--model_dir", "/mnt/models", "--host", "0.0.0.0", "--http_port", "8081", "--grpc_port", "8082"]
